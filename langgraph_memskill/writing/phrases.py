"""Whole utterances that say nothing about anybody: greetings, thanks, acknowledgements, fillers.

One phrase a semicolon, in lower case, with straight apostrophes. A phrase belongs here only if no
combination of it with other phrases states a fact, a wish or a decision.
"""

_ENGLISH = """
hi; hi there; hi again; hi all; hi everyone; hello; hello there; hello again; hey; hey there;
heya; hey man; hiya; howdy; yo; greetings; welcome; welcome back; good morning; good afternoon;
good evening; good night; good day; morning; evening; night; nite; gm; gn; how are you;
how are you doing; how are you doing today; how are you today; how's it going; how is it going;
how are things; how do you do; what's up; whats up; sup; wassup; what's new; nice to meet you;
nice to see you; good to see you; good to hear from you; great to hear from you; long time no see;
bye; bye bye; goodbye; good bye; byebye; see you; see you later; see you soon; see you around;
see you then; see ya; cya; ttyl; talk to you later; talk to you soon; talk later; talk soon;
catch you later; take care; later; laters; farewell; have a good one; have a nice day;
have a good day; have a great day; have a wonderful day; have a lovely day; have a nice evening;
have a good evening; have a great evening; have a good night; have a nice weekend;
have a good weekend; have a great weekend; enjoy your day; enjoy the rest of your day; sleep well;
sweet dreams; until next time; you too; same to you; likewise; thanks; thanks a lot;
thanks a bunch; thanks a ton; thanks a million; thanks so much; thanks very much; thanks again;
many thanks; thanks for your help; thanks for the help; thanks for that; thanks for the info;
thanks for the information; thanks for everything; thanks for asking; thx; thnx; tnx; ty; tysm;
tyvm; thank you; thank you so much; thank you very much; thank you again; thank you for your help;
thank you for the help; thank you for that; thank you for everything; thank you for asking;
thank u; cheers; much obliged; much appreciated; appreciate it; i appreciate it;
i appreciate that; i appreciate your help; you're welcome; you are welcome; ur welcome; yw; np;
no problem; no prob; no worries; no worry; don't worry; don't mention it; not at all; my pleasure;
it's my pleasure; pleasure; anytime; any time; glad to help; happy to help; i'm glad i could help;
i'm happy to help; i'm glad to help; i'm here to help; glad i could help; you bet; of course;
sure thing; how can i help; how can i help you; how can i help you today; how may i help you;
how may i help you today; how can i assist you; how can i assist you today;
how may i assist you today; what can i do for you; what can i do for you today;
is there anything else; anything else; is there anything else i can help you with;
is there anything else i can help with; is there anything else i can do for you; let me know;
let me know if you need anything; let me know if you need anything else;
let me know if there's anything else; let me know if there is anything else;
let me know if you have any questions; let me know if you have any other questions;
let me know if you have any more questions; let me know if i can help;
let me know if i can help with anything else;
let me know if there's anything else i can help you with;
let me know if there's anything else i can help with; if you need anything else just let me know;
if you need anything else let me know; if you need anything just let me know;
if you have any questions just let me know; feel free to ask; feel free to reach out;
just let me know; if you have any more questions feel free to ask;
if you have any other questions feel free to ask; if you need anything else feel free to ask;
if you have any questions feel free to ask; don't hesitate to ask; i'm here if you need anything;
i'm here if you need me; ok; okay; okey; okie; okay then; ok then; k; kk; oki; alright;
alright then; all right; all right then; right; right on; yes; yes please; yep; yup; yeah; yea;
ya; aye; yes indeed; indeed; no; nope; nah; no thanks; no thank you; sure; sure sure; certainly;
definitely; absolutely; exactly; precisely; totally; true; so true; very true; that's true;
that's right; that's correct; correct; agreed; i agree; got it; i got it; gotcha; gotya;
understood; i understand; i see; i see what you mean; noted; roger; roger that; copy that;
will do; makes sense; that makes sense; fair enough; fair; sounds good; sounds great;
sounds good to me; sounds like a plan; sounds fun; works for me; that works; that works for me;
fine; fine by me; that's fine; that's ok; that's okay; it's ok; it's okay; it's fine;
it's all good; all good; all fine; perfect; that's perfect; great; that's great; that is great;
great job; good; very good; good job; good one; good point; good idea; good stuff; good to know;
good to hear; great to hear; that's good to hear; that's great to hear; that's good; nice;
very nice; nice one; so nice; that's nice; cool; very cool; so cool; that's cool; awesome;
that's awesome; amazing; that's amazing; wonderful; that's wonderful; excellent; brilliant;
fantastic; lovely; that's lovely; super; superb; terrific; fabulous; marvelous; marvellous; neat;
sweet; wow; wow that's great; wow that's amazing; woah; whoa; yay; yippee; hooray; hurray; woohoo;
woo; omg; oh my god; oh my; oh; oh no; oh ok; oh okay; oh yes; oh well; ooh; ah; aha; ahh; aw;
aww; huh; hm; hmm; hmmm; mm; mmm; mhm; mmhm; mm hmm; mhmm; uh; uh huh; uhh; um; umm; er; erm;
well; anyway; anyways; whatever; so; and; then; btw; lol; lmao; rofl; lmfao; hehe; heh; haha; xd;
jk; just kidding; please; pls; plz; please do; go on; go ahead; continue; please continue;
carry on; keep going; tell me more; and then; really; oh really; is that so; interesting;
that's interesting; very interesting; congrats; congratulations; well done; bravo; kudos;
good luck; best of luck; good luck with that; cheers mate; sorry; so sorry; sorry about that;
i'm sorry to hear that; sorry to hear that; my bad; oops; whoops; excuse me; pardon; pardon me;
never mind; nevermind; nvm; one moment; one second; just a moment; just a second; hold on; brb;
best regards; kind regards; regards; all the best; best wishes; sincerely; you're the best;
you are the best; you rock; very much; so much; a lot; again; everyone; everybody; folks; guys;
buddy; dude; mate; bro; pal; my friend; dear; there; though
"""
_GERMAN = """
hallo; hallo zusammen; hi zusammen; moin; moin moin; servus; grüezi; grüß gott; grüß dich;
guten morgen; guten tag; guten abend; gute nacht; morgen; tag; tschüss; tschüß; tschau; ciao;
auf wiedersehen; bis bald; bis später; bis dann; bis morgen; mach's gut; schönen tag;
schönen tag noch; schönen abend; schönen abend noch; schönes wochenende; danke; danke schön;
dankeschön; danke sehr; danke dir; danke ihnen; vielen dank; vielen lieben dank; tausend dank;
danke für die hilfe; danke für deine hilfe; danke für ihre hilfe; besten dank; herzlichen dank;
bitte; bitte schön; bitteschön; bitte sehr; gern; gerne; gern geschehen; gerne geschehen;
kein problem; keine ursache; kein ding; nichts zu danken; ja; ja bitte; ja gerne; ja genau;
jawohl; jep; jo; nein; nein danke; nö; genau; stimmt; richtig; klar; alles klar; na klar;
verstanden; verstehe; ich verstehe; okay danke; in ordnung; passt; super danke; prima; toll;
klasse; wunderbar; perfekt; sehr gut; gut; schön; sehr schön; cool danke; ach so; achso; aha;
na gut; na dann; also; wie geht's; wie geht es dir; wie geht es ihnen; wie kann ich helfen;
wie kann ich dir helfen; wie kann ich ihnen helfen; entschuldigung; sorry; tut mir leid;
viele grüße; liebe grüße; lg; vg; mfg; weiter so; weiter; und; viel erfolg; viel glück;
glückwunsch; herzlichen glückwunsch
"""
_FRENCH = """
bonjour; bonsoir; bonne nuit; salut; coucou; au revoir; à bientôt; à plus; à plus tard; à demain;
bonne journée; bonne soirée; bon week-end; merci; merci beaucoup; merci bien; merci infiniment;
mille mercis; merci à vous; merci à toi; merci pour votre aide; merci pour ton aide; grand merci;
de rien; je vous en prie; je t'en prie; avec plaisir; pas de problème; pas de souci;
pas de soucis; il n'y a pas de quoi; oui; oui merci; ouais; non; non merci; d'accord; ok d'accord;
entendu; compris; je comprends; je vois; bien; très bien; c'est bien; bien sûr; parfait;
c'est parfait; super; génial; excellent; exactement; exact; c'est ça; c'est vrai; vraiment;
ça marche; ça va; ça va bien; comment ça va; comment allez-vous; comment vas-tu;
comment puis-je vous aider; comment puis-je t'aider; s'il vous plaît; s'il te plaît; svp; stp;
pardon; désolé; désolée; bravo; félicitations; bonne chance; mdr; ah; ah bon; ah d'accord; euh;
bah; ben; voilà; allez; bisous; cordialement
"""
_SPANISH = """
hola; buenas; buenos días; buenas tardes; buenas noches; buen día; adiós; adios; chao; chau;
hasta luego; hasta pronto; hasta mañana; nos vemos; que tengas un buen día; que tenga un buen día;
cuídate; gracias; muchas gracias; mil gracias; muchísimas gracias; gracias por tu ayuda;
gracias por su ayuda; gracias por todo; de nada; no hay de qué; con gusto; con mucho gusto;
un placer; no hay problema; sin problema; sí; si; sí gracias; sí por favor; no; no gracias; vale;
claro; claro que sí; por supuesto; de acuerdo; está bien; esta bien; muy bien; bien; bueno;
perfecto; genial; excelente; estupendo; fantástico; entendido; entiendo; ya veo; exacto;
exactamente; así es; cierto; es verdad; correcto; listo; qué bien; qué bueno; qué tal; cómo estás;
cómo está; cómo te va; en qué puedo ayudarte; en qué puedo ayudarle; cómo puedo ayudarte;
por favor; perdón; perdona; disculpa; lo siento; felicidades; enhorabuena; suerte; buena suerte;
jaja; jeje; saludos; un abrazo; ah; eh; pues; y
"""
_ITALIAN_PORTUGUESE = """
ciao; salve; buongiorno; buonasera; buonanotte; buon giorno; buona sera; buona notte;
buona giornata; buona serata; arrivederci; a presto; a dopo; a domani; ci vediamo; grazie;
grazie mille; mille grazie; grazie tante; molte grazie; prego; di niente; di nulla; figurati;
nessun problema; con piacere; sì; certo; certamente; d'accordo; va bene; tutto bene; bene;
molto bene; perfetto; ottimo; fantastico; capito; ho capito; capisco; esatto; esattamente; giusto;
è vero; per favore; per piacere; scusa; scusi; mi dispiace; come stai; come va; come sta;
come posso aiutarti; come posso aiutarla; in bocca al lupo; auguri; complimenti; bravo; brava;
allora; saluti; olá; ola; oi; bom dia; boa tarde; boa noite; tchau; até logo; até mais; até breve;
até amanhã; obrigado; obrigada; muito obrigado; muito obrigada; valeu; de nada; por nada;
disponha; imagina; sem problema; sem problemas; sim; não; nao; não obrigado; não obrigada; claro;
com certeza; tá; tá bom; está bem; tudo bem; tudo bom; beleza; ótimo; perfeito; legal; entendi;
entendido; exato; isso; isso mesmo; verdade; por favor; desculpa; desculpe; parabéns; boa sorte;
como vai; como você está; como posso ajudar; abraços; bom; muito bom; então
"""
_OTHER_LATIN = """
hoi; hallo daar; goedemorgen; goedemiddag; goedenavond; goedenacht; welterusten; dag; doei; doeg;
tot ziens; tot straks; tot later; tot morgen; fijne dag; bedankt; dank je; dank je wel; dankjewel;
dank u; dank u wel; dankuwel; hartelijk dank; graag gedaan; geen probleem; geen dank; ja;
ja graag; nee; nee bedankt; oké; prima; goed; heel goed; mooi; klopt; precies; inderdaad;
natuurlijk; begrepen; ik begrijp het; alsjeblieft; alstublieft; hoe gaat het; leuk; top; gezellig;
groetjes; succes; hej; hejsan; hei; god morgon; god morgen; godmorgen; god natt; godnat; hej då;
hejdå; ha det; farvel; vi ses; tack; tack så mycket; tusen tack; takk; tusen takk; tak; mange tak;
takk skal du ha; ingen fara; ingen årsak; det var så lite; varsågod; vær så god; nej; nei;
ja tack; nej tack; bra; jättebra; okej; visst; precis; kiitos; kiitos paljon; moi; terve;
huomenta; hyvää yötä; kyllä; joo; cześć; hej hej; dzień dobry; dobry wieczór; dobranoc;
do widzenia; na razie; pa; dzięki; dziękuję; dziękuję bardzo; wielkie dzięki; proszę;
nie ma za co; nie ma sprawy; nie; nie dziękuję; jasne; dobrze; dobra; super; świetnie; rozumiem;
oczywiście; ahoj; dobrý den; děkuji; díky; prosím; ano; ne; merhaba; selam; günaydın; iyi günler;
iyi akşamlar; iyi geceler; görüşürüz; hoşça kal; güle güle; teşekkürler; teşekkür ederim;
çok teşekkürler; sağ ol; sağol; rica ederim; bir şey değil; evet; hayır; tamam; peki; anladım;
güzel; harika; nasılsın; nasılsınız; lütfen; tabii; tabii ki; xin chào; chào bạn; cảm ơn;
cảm ơn bạn; cám ơn; vâng; dạ; tạm biệt; halo; selamat pagi; selamat siang; selamat malam;
terima kasih; terima kasih banyak; makasih; sama-sama; ya; tidak; baik; oke; sampai jumpa
"""
_OTHER_SCRIPTS = """
привет; привет всем; здравствуй; здравствуйте; доброе утро; добрый день; добрый вечер;
спокойной ночи; доброй ночи; пока; до свидания; до встречи; до завтра; спасибо; спасибо большое;
большое спасибо; спасибо за помощь; благодарю; пожалуйста; не за что; без проблем; да; нет;
нет спасибо; да спасибо; ага; угу; хорошо; окей; ок; понятно; понял; поняла; ясно; отлично;
прекрасно; супер; здорово; круто; класс; конечно; верно; точно; согласен; согласна; извините;
извини; как дела; как ты; ладно; ну ладно; ну; удачи; поздравляю; привіт; доброго дня; дякую;
дуже дякую; будь ласка; так; ні; добре; до побачення; γεια; γεια σου; γεια σας; καλημέρα;
καλησπέρα; καληνύχτα; ευχαριστώ; ευχαριστώ πολύ; παρακαλώ; ναι; όχι; εντάξει; τέλεια; αντίο; 你好;
您好; 大家好; 早; 早上好; 早安; 下午好; 晚上好; 晚安; 嗨; 喂; 再见; 拜拜; 回头见; 明天见; 谢谢;
谢谢你; 谢谢您; 多谢; 非常感谢; 感谢; 不客气; 不用谢; 没事; 没关系; 没问题; 好; 好的; 好吧; 好啊;
好呀; 行; 可以; 是; 是的; 对; 对的; 对啊; 嗯; 嗯嗯; 不; 不是; 不用; 明白; 明白了; 知道了;
我知道了; 懂了; 了解; 收到; 当然; 真的; 真的吗; 太好了; 太棒了; 很好; 不错; 哈哈; 哈; 呵呵; 嘿嘿;
请; 对不起; 抱歉; 辛苦了; 加油; 恭喜; 哦; 啊; 呀; 吧; 你好吗; 謝謝; 謝謝你; 多謝; 不客氣; 沒問題;
沒關係; 對; 對的; 晚點見; 再見; 好喔; 了解了; 收到了; こんにちは; おはよう; おはようございます;
こんばんは; おやすみ; おやすみなさい; さようなら; またね; じゃあね; また明日; ありがとう;
ありがとうございます; ありがとうございました; どうも; どういたしまして; はい; うん; ええ; いいえ;
いや; わかりました; 分かりました; わかった; 了解です; 了解しました; 承知しました; なるほど;
そうですね; そうです; そうですか; そうか; すみません; ごめん; ごめんなさい; お願いします;
よろしくお願いします; よろしく; すごい; いいね; いいですね; 大丈夫; 大丈夫です; お疲れ様です;
お疲れ様でした; お疲れさま; オッケー; おめでとう; 笑; 안녕; 안녕하세요; 안녕히 가세요;
안녕히 계세요; 잘 자; 안녕히 주무세요; 감사합니다; 고맙습니다; 고마워; 고마워요; 감사해요;
천만에요; 별말씀을요; 네; 넵; 예; 응; 아니요; 아니; 알겠습니다; 알겠어요; 알았어; 좋아요; 좋아;
그래; 그래요; 맞아요; 맞아; 물론이죠; 미안해요; 죄송합니다; 축하해요; ㅋㅋ; ㅋㅋㅋ; ㅎㅎ; ㅇㅇ;
ㅇㅋ; مرحبا; مرحباً; أهلا; أهلاً; اهلا; أهلا وسهلا; السلام عليكم; وعليكم السلام; صباح الخير;
مساء الخير; تصبح على خير; مع السلامة; إلى اللقاء; شكرا; شكراً; شكرا جزيلا; شكراً جزيلاً; شكرا لك;
عفوا; عفواً; نعم; لا; لا شكرا; حسنا; حسناً; تمام; طيب; ممتاز; رائع; فهمت; من فضلك; آسف; سلام;
ممنون; مرسی; خیلی ممنون; بله; باشه; שלום; היי; בוקר טוב; ערב טוב; לילה טוב; להתראות; תודה;
תודה רבה; בבקשה; כן; לא; לא תודה; בסדר; מעולה; סבבה; הבנתי; नमस्ते; नमस्कार; हैलो; शुभ प्रभात;
शुभ रात्रि; अलविदा; धन्यवाद; बहुत धन्यवाद; शुक्रिया; बहुत शुक्रिया; हाँ; हां; जी; जी हाँ; नहीं;
ठीक है; ठीक; अच्छा; बहुत अच्छा; समझ गया; समझ गई; कृपया; माफ़ कीजिए; वाह; สวัสดี; สวัสดีครับ;
สวัสดีค่ะ; ขอบคุณ; ขอบคุณครับ; ขอบคุณค่ะ; ขอบคุณมาก; ครับ; ค่ะ; ใช่; ไม่; โอเค; ลาก่อน
"""

PHRASES = tuple(
    phrase
    for block in (
        _ENGLISH,
        _GERMAN,
        _FRENCH,
        _SPANISH,
        _ITALIAN_PORTUGUESE,
        _OTHER_LATIN,
        _OTHER_SCRIPTS,
    )
    for phrase in dict.fromkeys(" ".join(part.split()) for part in block.split(";"))
    if phrase
)
"""The phrases of all languages."""
